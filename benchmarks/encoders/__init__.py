"""How well encoders tell faulty machines from healthy ones, knowing normal clips alone."""
