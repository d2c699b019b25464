"""What the papers do: methods, formats, kernels and the steps they share."""
