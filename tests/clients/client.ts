// A back end's client, from the generated types alone: it links a company, sends a text, and reads its end.
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

const [url, key, company, to] = process.argv.slice(2) as [string, string, string, string];
const api = createClient<paths>({ baseUrl: url, headers: { Authorization: `Bearer ${key}` } });
const say = (said: object) => console.log(JSON.stringify(said));

async function until(wanted: (view: components["schemas"]["AttemptView"]) => boolean) {
  for (let seen = "", tries = 0; tries < 100; tries++) {
    const { data, response } = await api.GET("/api/v1/companies/{id}/attempts/current", {
      params: { path: { id: company }, query: { wait: 10 }, header: { "If-None-Match": seen } },
    });
    seen = response.headers.get("etag") ?? seen;
    if (data && wanted(data)) return data;
  }
  throw new Error("it never came");
}

const made = await api.POST("/api/v1/links", { body: { companyId: company, companyName: "Salon" } });
if (made.error) throw new Error(made.error.title);
const link = await api.GET("/api/v1/links/{id}", { params: { path: { id: made.data.id } } });

const path = { id: company };
await api.POST("/api/v1/companies/{id}/attempts", { params: { path }, body: { method: "qr" } });
say({ qr: (await until((view) => Boolean(view.qr))).qr?.text });
const linked = await until((view) => view.state === "linked");
const page = await api.GET("/api/v1/companies", { params: { query: { state: "linked", limit: 100 } } });

const sent = await api.POST("/api/v1/companies/{id}/messages", { params: { path }, body: { to, text: "hello" } });
if (sent.error) throw new Error(sent.error.title);
let end = "queued";
while (["queued", "sending", "sent"].includes(end)) {
  await new Promise((resolve) => setTimeout(resolve, 100));
  const message = { path: { id: company, message: sent.data.id } };
  end = (await api.GET("/api/v1/companies/{id}/messages/{message}", { params: message })).data?.state ?? "forgotten";
}
const refused = await api.POST("/api/v1/companies/{id}/messages", {
  params: { path: { id: "nobody" } },
  body: { to, text: "hello" },
});
say({
  link: link.data?.state,
  attempt: linked.state,
  listed: page.data?.companies.some((one) => one.sessionId === linked.sessionId),
  message: end,
  refused: refused.error?.type,
});
