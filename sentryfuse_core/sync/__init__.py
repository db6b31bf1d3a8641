"""Which samples belong to one moment: the synchroniser."""
