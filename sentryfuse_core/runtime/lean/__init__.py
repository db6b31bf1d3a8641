"""The deploy form: the network's parts at one width each, for one mask at a time and inference alone."""
