"""What decoders do alike: cut and check JSON, read timestamps, pick values out of hostile documents."""
