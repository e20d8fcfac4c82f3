// Read the code of a pass with the phone's camera. Where the browser can read codes itself, no
// picture leaves the phone; elsewhere two small frames a second go to the server, which answers
// with the text of the code and keeps nothing.
const box = document.querySelector("[data-scan]");
const field = document.getElementById("pass");
const EVERY_MS = 500;
const SIDE_PX_MAX = 1280;
const PATIENCE_MS = 60_000;

if (box && navigator.mediaDevices?.getUserMedia) {
  const words = box.dataset;
  const video = box.querySelector("video");
  const frame = box.querySelector(".camera");
  const says = box.querySelector(".says");
  const button = box.querySelector("button");
  let stream = null;
  box.hidden = false;

  function stop(text) {
    if (stream) stream.getTracks().forEach((track) => track.stop());
    stream = null;
    video.srcObject = null;
    frame.hidden = true;
    button.textContent = words.start;
    says.textContent = text;
  }

  async function start() {
    let mine;
    button.disabled = true;
    try {
      mine = await navigator.mediaDevices.getUserMedia({
        video: { facingMode: "environment", width: { ideal: 1280 }, height: { ideal: 720 } },
        audio: false,
      });
    } catch (error) {
      says.textContent = error.name === "NotAllowedError" ? words.refused : words.none;
      return;
    } finally {
      button.disabled = false;
    }
    stream = mine;
    video.srcObject = stream;
    frame.hidden = false;
    button.textContent = words.stop;
    says.textContent = words.look;
    await video.play();
    watch(stream, await reader());
  }

  // What turns the picture of now into the text of a code, or into "".
  async function reader() {
    try {
      const formats = await BarcodeDetector.getSupportedFormats();
      if (formats.includes("qr_code")) {
        const detector = new BarcodeDetector({ formats: ["qr_code"] });
        return async () => {
          const codes = await detector.detect(video);
          return codes.map((code) => code.rawValue).find((text) => text.startsWith("FF1:")) || "";
        };
      }
    } catch { /* no such thing in this browser */ }
    return async () => {
      const answer = await fetch(words.url, {
        method: "POST",
        headers: { "Content-Type": "image/jpeg", "X-CSRFToken": field.form.elements.csrf_token.value },
        body: await jpeg(),
        redirect: "error",
      });
      if (!answer.ok) throw new Error(String(answer.status));
      return (await answer.json()).pass || "";
    };
  }

  function jpeg() {
    const scale = Math.min(1, SIDE_PX_MAX / Math.max(video.videoWidth, video.videoHeight));
    const canvas = document.createElement("canvas");
    canvas.width = Math.round(video.videoWidth * scale);
    canvas.height = Math.round(video.videoHeight * scale);
    canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, canvas.height);
    return new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.85));
  }

  // One frame at a time: a slow server is asked less often, never twice at once.
  async function watch(mine, read) {
    const until = performance.now() + PATIENCE_MS;
    while (stream === mine) {
      if (performance.now() > until) return stop(words.nothing);
      const begun = performance.now();
      let text = "";
      try {
        if (video.videoWidth) text = await read();
        if (stream === mine) says.textContent = words.look;
      } catch {
        if (stream === mine) says.textContent = words.trouble;
      }
      if (stream !== mine) return;
      if (text) {
        field.value = text;
        stop(words.found);
        document.getElementById("pin").focus();
        return;
      }
      await new Promise((done) => setTimeout(done, Math.max(50, EVERY_MS - (performance.now() - begun))));
    }
  }

  button.addEventListener("click", () => (stream ? stop("") : start()));
  document.addEventListener("visibilitychange", () => {
    if (document.hidden && stream) stop("");
  });
}
