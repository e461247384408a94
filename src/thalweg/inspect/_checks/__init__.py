"""What `thalweg.inspect.check` looks at, one function a check."""
