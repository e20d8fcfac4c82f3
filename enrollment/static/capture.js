// The desk's camera: shows frames to the server while the rider looks, and keeps the good ones
// here, in the form's own file field. The server keeps nothing between two frames.
"use strict";
(() => {
  const box = document.querySelector("[data-capture]");
  const field = document.getElementById("photos");
  if (!box || !field || !navigator.mediaDevices || !window.DataTransfer) return;

  const WANTED = 3;
  const EVERY_MS = 400;
  const SIDE_PX_MAX = 640;
  const TURN_DEG = 3; // so far apart, two frames tell more than one
  const PATIENCE = 5; // good frames without a turn, after which one is taken as it is
  const words = box.dataset;
  const video = box.querySelector("video");
  const frame = box.querySelector(".camera");
  const says = box.querySelector(".says");
  const shelf = box.querySelector(".kept");
  const button = box.querySelector("button");
  const token = field.form.elements.csrf_token.value;

  let stream = null;
  let kept = [];
  let still = 0;
  box.hidden = false;

  const say = (text) => {
    if (says.textContent !== text) says.textContent = text;
  };

  function reset() {
    kept = [];
    still = 0;
    shelf.replaceChildren();
    field.value = "";
  }

  function stop() {
    if (stream) stream.getTracks().forEach((track) => track.stop());
    stream = null;
    video.srcObject = null;
    frame.hidden = true;
    frame.classList.remove("good");
    button.textContent = kept.length ? words.again : words.start;
  }

  async function start() {
    reset();
    try {
      stream = await navigator.mediaDevices.getUserMedia({
        video: { width: { ideal: 1280 }, height: { ideal: 720 } },
        audio: false,
      });
    } catch {
      say(words.noCamera);
      return;
    }
    video.srcObject = stream;
    frame.hidden = false;
    button.textContent = words.stop;
    await video.play();
    say(words.look);
    look(stream);
  }

  function snapshot() {
    const scale = Math.min(1, SIDE_PX_MAX / Math.max(video.videoWidth, video.videoHeight));
    const canvas = document.createElement("canvas");
    canvas.width = Math.round(video.videoWidth * scale);
    canvas.height = Math.round(video.videoHeight * scale);
    canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, canvas.height);
    return canvas;
  }

  const asJpeg = (canvas) =>
    new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.92));

  async function ask(blob) {
    const answer = await fetch(words.url, {
      method: "POST",
      headers: { "Content-Type": "image/jpeg", "X-CSRFToken": token },
      body: blob,
      redirect: "error",
    });
    const kind = answer.headers.get("Content-Type") || "";
    if (!kind.startsWith("application/json")) throw new Error(String(answer.status));
    return answer.json();
  }

  // One question at a time: a slow server is asked less often, never twice at once.
  async function look(mine) {
    while (stream === mine && kept.length < WANTED) {
      const begun = performance.now();
      if (video.videoWidth) {
        const canvas = snapshot();
        const blob = await asJpeg(canvas);
        try {
          const verdict = await ask(blob);
          if (stream !== mine) return;
          take(verdict, canvas, blob);
        } catch {
          if (stream !== mine) return;
          say(words.trouble);
        }
      }
      const rest = EVERY_MS - (performance.now() - begun);
      await new Promise((done) => setTimeout(done, Math.max(50, rest)));
    }
  }

  function take(verdict, canvas, blob) {
    frame.classList.toggle("good", verdict.good);
    if (!verdict.good) {
      say(verdict.problem || verdict.reasons.map((reason) => reason.words).join(" "));
      return;
    }
    const turned = kept.every(
      (old) =>
        Math.abs(old.yaw - verdict.yaw_deg) >= TURN_DEG ||
        Math.abs(old.pitch - verdict.pitch_deg) >= TURN_DEG,
    );
    still += 1;
    if (!turned && still < PATIENCE) {
      say(words.turn);
      return;
    }
    still = 0;
    kept.push({ blob, yaw: verdict.yaw_deg, pitch: verdict.pitch_deg });
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `${words.photo} ${kept.length}`);
    shelf.append(canvas);
    if (kept.length < WANTED) {
      say(words.turn);
      return;
    }
    const files = new DataTransfer();
    kept.forEach((one, number) =>
      files.items.add(new File([one.blob], `frame-${number + 1}.jpg`, { type: "image/jpeg" })),
    );
    field.files = files.files;
    stop();
    say(words.ready);
  }

  button.addEventListener("click", () => {
    if (stream) {
      stop();
      say("");
    } else {
      start();
    }
  });
  field.addEventListener("change", () => {
    shelf.replaceChildren();
    say("");
  });
})();
