"""What operators are and do, whatever graph they stand in."""
