"""What trains the runs of a study: the processes of this machine, or a Ray cluster."""
