// The calls to the control port that this page makes.

async function call(method, path, { body, signal } = {}) {
  const answer = await fetch(path, {
    method,
    signal,
    headers: body === undefined ? {} : { "Content-Type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const json = await answer.json();
  if (!answer.ok) throw new Error(json.error ?? String(answer.status));
  return json;
}

export const account = (number) => call("GET", `/phones/${number}`);
export const scanText = (number, qr) => call("POST", `/phones/${number}/scan`, { body: { qr } });
export const typeCode = (number, code) => call("POST", `/phones/${number}/type`, { body: { code } });
export const logout = (number, device) => call("POST", `/phones/${number}/logout`, { body: { device } });
export const cut = (number) => call("POST", "/connections/cut", { body: { phone: number } });
export const behaviour = (number) => call("GET", `/phones/${number}/behaviour`);
export const behave = (number, rules) => call("PUT", `/phones/${number}/behaviour`, { body: { rules } });
export const events = (after, wait) => call("GET", `/events?after=${after}&wait=${wait}`);
export const words = (language) => call("GET", `/words/${language}`);
export const company = (another, language) => call(another ? "POST" : "GET", `/demo/company?language=${language}`);
export const screen = (tag, signal) => call("GET", `/demo/screen?tag=${encodeURIComponent(tag)}`, { signal });

export async function scanPicture(number, blob) {
  const bytes = new Uint8Array(await blob.arrayBuffer());
  let binary = "";
  for (let at = 0; at < bytes.length; at += 8192) binary += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return call("POST", `/phones/${number}/scan`, { body: { png_base64: btoa(binary) } });
}
