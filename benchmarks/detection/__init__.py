"""How well the detector tells faulty machines from healthy ones, from normals alone and with every confirmed fault."""
