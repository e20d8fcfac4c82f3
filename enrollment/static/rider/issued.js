// Keep the pass that this page was issued with on this phone, if the rider says so.
const button = document.getElementById("keep");
button.hidden = false;
button.addEventListener("click", () => {
  localStorage.setItem("facefare-pass", document.getElementById("text").textContent);
  location.assign("/me/pass");
});
