"""What is kept of a run outside its folder: MLflow. Nothing else here or elsewhere imports mlflow.

mlflow takes two seconds to import, so it is imported inside functions: `tracking=none` never does.
"""
