"""What the sensor check says about real recordings and made defects."""
