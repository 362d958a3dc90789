"""One folder per thing that has a life: its snapshot, its facts, its handlers. They meet in the store only."""
