"""Tako: applications on bare hosts, declared as documents and kept as declared."""

VERSION = "0.0.0"
