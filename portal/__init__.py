"""The portal: a web app for the operator and the engineer; it talks HTTP to the service, and to nothing else."""
