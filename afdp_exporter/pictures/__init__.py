"""What is shown rather than told: positions and paths of pictures. Pure; the templates put them into SVG."""
