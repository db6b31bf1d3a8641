"""The pruning benchmark's results: from one JSON record a job to judged figures and a report."""
