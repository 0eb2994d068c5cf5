#!/usr/bin/env bash
# A SLURM cluster of two nodes on this one machine, for tests and for trying things out:
#   sudo scripts/slurm_cluster.sh up      installs Debian's packages once, starts, waits until the nodes are idle
#   sudo scripts/slurm_cluster.sh down    cancels all jobs and stops; the next start is from nothing
# Each node has 4 CPUs, made up as its 2 GPUs are: SLURM hands them out, torch sees no GPU. With accounting (sacct), without
# systemd and cgroups: nothing holds a job to its memory. Needs root and Debian 12 or a relative of it.
set -euo pipefail
ROOT=/var/lib/slurm-test MARK="# made by slurm_cluster.sh" NODES=(node1 node2)
SOCKET=$ROOT/mariadb.sock PORT=16817

say() { echo "slurm_cluster: $*"; }
die() { say "$*" >&2; exit 1; }
wait_for() { # wait_for SECONDS COMMAND...: until it succeeds
  local until=$((SECONDS + $1)); shift
  until "$@" &>/dev/null; do ((SECONDS < until)) || die "waited in vain for: $*; see $ROOT/log"; sleep 0.2; done
}
sql() { mariadb --no-defaults --socket="$SOCKET" "$@"; }
idle() { [ "$(sinfo -h -N -o %t | grep -c '^idle$')" = ${#NODES[@]} ]; }

packages() {
  local missing=()
  command -v slurmctld >/dev/null || missing+=(slurm-wlm munge)
  command -v slurmdbd >/dev/null || missing+=(slurmdbd)
  command -v mariadbd >/dev/null || missing+=(mariadb-server)
  ((${#missing[@]})) || return 0
  say "installing ${missing[*]}"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends "${missing[@]}" >/dev/null
}

configure() {
  local node number=0 lines=""
  for node in "${NODES[@]}"; do
    number=$((number + 1))
    lines+="NodeName=$node NodeHostname=$(hostname -s) NodeAddr=127.0.0.1 Port=$((PORT + 10 + number)) "
    lines+="CPUs=4 RealMemory=8000 Gres=gpu:2"$'\n'
    getent hosts "$node" >/dev/null || echo "127.0.0.1 $node $MARK" >>/etc/hosts # torch.distributed looks for it
  done
  for number in 0 1; do [ -e "/dev/madeup$number" ] || mknod "/dev/madeup$number" c 1 3; done
  # cred_expire, sched_interval and so on: else a requeued job waits for two minutes.
  cat >/etc/slurm/slurm.conf <<CONF
$MARK
ClusterName=test
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=cred_expire=5
SlurmctldPort=$PORT
SlurmctldPidFile=$ROOT/slurmctld.pid
SlurmdPidFile=$ROOT/slurmd.%n.pid
StateSaveLocation=$ROOT/state
SlurmdSpoolDir=$ROOT/spool.%n
SlurmctldLogFile=$ROOT/log/slurmctld
SlurmdLogFile=$ROOT/log/slurmd.%n
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=1
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
DefMemPerCPU=500
JobRequeue=1
ReturnToService=2
KillWait=10
SlurmdTimeout=20
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort=$((PORT + 2))
JobAcctGatherType=jobacct_gather/linux
GresTypes=gpu
${lines}PartitionName=test Nodes=ALL Default=YES DefaultTime=10
CONF
  printf '%s\nName=gpu File=/dev/madeup[0-1]\n' "$MARK" >/etc/slurm/gres.conf
  printf '%s\nCgroupPlugin=autodetect\n' "$MARK" >/etc/slurm/cgroup.conf
  install -m 600 /dev/stdin /etc/slurm/slurmdbd.conf <<CONF
$MARK
AuthType=auth/munge
DbdHost=$(hostname -s)
DbdAddr=127.0.0.1
DbdPort=$((PORT + 2))
SlurmUser=root
LogFile=$ROOT/log/slurmdbd
PidFile=$ROOT/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
StorageLoc=accounting
CONF
}

start_accounting() {
  install -d -o mysql -g mysql "$ROOT/mariadb"
  mariadb-install-db --user=mysql --datadir="$ROOT/mariadb" --auth-root-authentication-method=socket \
    --skip-test-db >"$ROOT/log/mariadb-install"
  setsid mariadbd --no-defaults --user=mysql --datadir="$ROOT/mariadb" --socket="$SOCKET" --skip-networking \
    --pid-file="$ROOT/mariadb/pid" --innodb-buffer-pool-size=64M --innodb-lock-wait-timeout=900 \
    &>"$ROOT/log/mariadb" </dev/null &
  wait_for 30 sql -e "select 1"
  sql -e "create database accounting; create user if not exists root@localhost identified via unix_socket"
  MYSQL_UNIX_PORT=$SOCKET slurmdbd
  wait_for 30 sacctmgr -n show cluster
  sacctmgr -i -Q add cluster test >/dev/null
}

up() {
  packages
  if [ -e $ROOT ]; then
    idle && { say "it is up already"; return; }
    down
  fi
  for file in slurm gres cgroup slurmdbd; do
    [ ! -s /etc/slurm/$file.conf ] || die "/etc/slurm/$file.conf is not ours: left alone"
  done
  mkdir -p $ROOT/log $ROOT/state /etc/slurm
  chmod 755 $ROOT
  install -d -o mysql -g mysql -m 755 "$(dirname "$SOCKET")/mariadb"
  chown mysql $ROOT # its socket lies there
  configure
  [ -s /etc/munge/munge.key ] || mungekey
  install -d -o munge -g munge -m 755 /run/munge
  munge -n </dev/null | unmunge &>/dev/null || { runuser -u munge -- munged; cp /run/munge/munged.pid $ROOT/munged.pid; }
  start_accounting
  slurmctld
  wait_for 30 sh -c 'scontrol ping | grep -q UP'
  for node in "${NODES[@]}"; do slurmd -N "$node"; done
  wait_for 60 idle
  say "up after $SECONDS s: $(sinfo -h -o '%P %D nodes, %t')"
}

stop() { # stop NAME PIDFILE
  local pid; pid=$(cat "$2" 2>/dev/null) || return 0
  [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "$1" ] || return 0
  kill "$pid"
  for _ in $(seq 100); do grep -qs '^State:.*[^Z] ' "/proc/$pid/status" || return 0; sleep 0.1; done
  kill -KILL "$pid"
}

down() {
  [ -e $ROOT ] || { say "it is not up"; return; }
  if timeout 5 scontrol ping 2>/dev/null | grep -q UP; then
    squeue -h -o %A | sort -u | xargs -r scancel || true
    for _ in $(seq 60); do [ -n "$(squeue -h)" ] || break; sleep 0.5; done
  fi
  stop slurmctld $ROOT/slurmctld.pid
  for node in "${NODES[@]}"; do stop slurmd "$ROOT/slurmd.$node.pid"; done
  for process in /proc/[0-9]*; do # the steps of a slurmd that was killed, with what they run
    [ "$(cat "$process/comm" 2>/dev/null)" = slurmstepd ] || continue
    find "$process/fd" -lname "$ROOT/*" 2>/dev/null | grep -q . || continue
    # shellcheck disable=SC2046
    kill -KILL $(cat "$process"/task/*/children) "${process#/proc/}" 2>/dev/null || true
  done
  stop slurmdbd $ROOT/slurmdbd.pid
  stop mariadbd $ROOT/mariadb/pid
  stop munged $ROOT/munged.pid
  for file in slurm gres cgroup slurmdbd; do
    grep -qs "$MARK" /etc/slurm/$file.conf && rm /etc/slurm/$file.conf
  done
  sed "/$MARK\$/d" /etc/hosts >$ROOT/hosts && cat $ROOT/hosts >/etc/hosts # a container's cannot be renamed
  rm -f /dev/madeup[01]
  rm -rf --one-file-system $ROOT
  say "down"
}

[ "$(id -u)" = 0 ] || die "needs root: sudo $0 ${1:-up}"
case ${1:-} in up) up ;; down) down ;; *) die "usage: $0 up|down" ;; esac
