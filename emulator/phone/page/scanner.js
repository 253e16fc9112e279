// Getting at a QR: a picture that is chosen, dropped or pasted, text that is pasted, or a look at the screen.

const LOOKS = 20;
const PAUSE_MS = 500;

// Calls `onPicture(blob)` and `onText(text)` for whatever the person brings while `isOpen()`.
export function watch({ finder, input, form, isOpen, onPicture, onText }) {
  const take = (transfer) => {
    const file = [...transfer.files].find((one) => one.type.startsWith("image/"));
    const text = transfer.getData("text/plain").trim();
    if (file) onPicture(file);
    else if (text) onText(text);
    return Boolean(file ?? text);
  };
  input.addEventListener("change", () => {
    if (input.files.length) onPicture(input.files[0]);
    input.value = "";
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const field = form.querySelector("input");
    if (field.value.trim()) onText(field.value.trim());
    field.value = "";
  });
  for (const kind of ["dragenter", "dragover"]) {
    finder.addEventListener(kind, (event) => {
      event.preventDefault();
      finder.classList.add("over");
    });
  }
  finder.addEventListener("dragleave", () => finder.classList.remove("over"));
  finder.addEventListener("drop", (event) => {
    event.preventDefault();
    finder.classList.remove("over");
    take(event.dataTransfer);
  });
  document.addEventListener("paste", (event) => {
    if (isOpen() && event.target.id !== "text" && take(event.clipboardData)) event.preventDefault();
  });
}

export const canCapture = () => Boolean(navigator.mediaDevices?.getDisplayMedia);

// Looks at a window or screen that the person chooses until `tryPicture(blob)` returns true. False if it never did.
export async function lookAtScreen(tryPicture) {
  const stream = await navigator.mediaDevices.getDisplayMedia({ video: true });
  const video = document.createElement("video");
  try {
    video.srcObject = stream;
    video.muted = true;
    await video.play();
    const canvas = document.createElement("canvas");
    for (let look = 0; look < LOOKS; look += 1) {
      canvas.width = video.videoWidth;
      canvas.height = video.videoHeight;
      canvas.getContext("2d").drawImage(video, 0, 0);
      const blob = await new Promise((done) => canvas.toBlob(done, "image/png"));
      if (blob && (await tryPicture(blob))) return true;
      await new Promise((done) => setTimeout(done, PAUSE_MS));
    }
    return false;
  } finally {
    for (const track of stream.getTracks()) track.stop();
  }
}
