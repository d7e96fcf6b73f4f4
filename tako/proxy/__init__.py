"""The Python side of the data plane: routes to table (pure), control socket, supervision of tako-proxyd."""
