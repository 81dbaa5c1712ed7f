"""What a run costs and how near its image comes: MACs, time, memory, quality."""
