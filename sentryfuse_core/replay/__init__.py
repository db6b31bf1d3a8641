"""Offline use of recordings: read, run the same pipeline on bag time, write results and a report."""
