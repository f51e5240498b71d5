"""What is measured of a model on data without changing it: Fisher information, Gram matrices of inputs."""
