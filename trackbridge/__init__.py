"""Backend-neutral experiment tracking: runs are journals in your own files; everything else reads them."""
