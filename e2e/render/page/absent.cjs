// Stands for modules that the page never calls: those of Node, and the code editor.
module.exports = {};
