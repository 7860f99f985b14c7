"""The faces: what the outside sees of a decision. They translate, they don't decide, and they never touch OAuth."""
