"""What is known of values, without running them."""
