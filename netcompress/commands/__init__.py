"""The commands, a file a group, a few lines each over the rooms below."""
