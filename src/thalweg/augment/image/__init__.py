"""Pictures: how policies are carried out on uint8 arrays and on batches of float tensors."""
