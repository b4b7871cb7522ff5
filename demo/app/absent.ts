/** Stands for packages that jsPDF would load for HTML and SVG, which no figure needs. */
export default null;
