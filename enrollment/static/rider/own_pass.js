// Where the page asks for the text of the pass, fill in the one that this phone keeps.
const kept = localStorage.getItem("facefare-pass");
for (const field of document.querySelectorAll("[data-own-pass]")) {
  if (kept && !field.value) field.value = kept;
}
