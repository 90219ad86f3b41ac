"""The way in: who may call, bounded reading of uploads, pages of lists, every failure a problem, leaving politely."""
