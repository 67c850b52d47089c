"""What a transformer is made of, found by what it computes: attention, masks, embeddings, layers."""
