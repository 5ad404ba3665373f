"""The pictures: drawn by Matplotlib, coloured by the page that shows them."""
