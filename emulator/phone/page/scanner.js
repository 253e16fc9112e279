// A QR that a person brings by hand: a picture that is chosen, dropped or pasted, or its text.

// Calls `onPicture(blob)` and `onText(text)` for whatever comes while `isOpen()`.
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
  for (const kind of ["dragenter", "dragover"]) finder.addEventListener(kind, (event) => event.preventDefault());
  finder.addEventListener("drop", (event) => {
    event.preventDefault();
    take(event.dataTransfer);
  });
  document.addEventListener("paste", (event) => {
    if (isOpen() && event.target.id !== "text" && take(event.clipboardData)) event.preventDefault();
  });
}
