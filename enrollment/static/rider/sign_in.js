// Fill in the pass that this phone keeps, and make a photograph small before it is sent.
const SIDE_MAX = 1600;
const field = document.getElementById("pass");
const photo = document.getElementById("photo");
const kept = localStorage.getItem("facefare-pass");
if (kept && !field.value) field.value = kept;

photo.addEventListener("change", async () => {
  const [file] = photo.files;
  if (!file || file.size < 1_500_000) return;
  const picture = await createImageBitmap(file);
  const scale = Math.min(1, SIDE_MAX / Math.max(picture.width, picture.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.round(picture.width * scale);
  canvas.height = Math.round(picture.height * scale);
  canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
  canvas.toBlob((blob) => {
    const list = new DataTransfer();
    list.items.add(new File([blob], "pass.jpg", { type: "image/jpeg" }));
    photo.files = list.files;
  }, "image/jpeg", 0.9);
});
photo.addEventListener("input", () => { if (photo.files.length) field.value = ""; });
