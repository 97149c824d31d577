"""Our algebra of cone programs on the host: faces, systems of their derivatives, the polish to rounding."""
