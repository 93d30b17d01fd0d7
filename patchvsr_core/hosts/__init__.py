"""Where a base model lives: diffusers (headless) or ComfyUI. Import the one you need."""
