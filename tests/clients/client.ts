// A back end's client, from the generated types alone.
import createClient from "openapi-fetch";
import type { paths } from "./schema.js";

const [url, key] = process.argv.slice(2) as [string, string];
const api = createClient<paths>({ baseUrl: url, headers: { Authorization: `Bearer ${key}` } });

const made = await api.POST("/api/v1/links", { body: { companyId: "ts-1", companyName: "Salon" } });
if (made.error) throw new Error(made.error.title);
const link = await api.GET("/api/v1/links/{id}", { params: { path: { id: made.data.id } } });
const begun = await api.POST("/api/v1/companies/{id}/attempts", {
  params: { path: { id: "ts-1" } },
  body: { method: "qr" },
});
const page = await api.GET("/api/v1/companies", { params: { query: { state: "queued", limit: 10 } } });
const sent = await api.POST("/api/v1/companies/{id}/messages", {
  params: { path: { id: "ts-1" } },
  body: { to: "+79001234567", text: "hello" },
});
console.log(
  JSON.stringify({
    link: link.data?.state,
    attempt: begun.data?.state,
    listed: page.data?.companies.map((one) => one.sessionId),
    refused: sent.error?.type,
  }),
);
