"""The charts: drawn by Matplotlib, coloured by the page that shows them."""
