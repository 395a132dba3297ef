// Sign up, verify, log in, see oneself, and ask for a permission: with types generated from the OpenAPI schema.
// Usage: node main.js URL EMAIL PASSWORD

import { createInterface } from "node:readline";
import createClient from "openapi-fetch";
import type { components, paths } from "./api.js";

const [baseUrl = "", email = "", password = ""] = process.argv.slice(2);
const api = createClient<paths>({ baseUrl });

// What went well, or the problem: its `code` is for programs, its `detail` for people.
function good<T>(answer: { data?: T; error?: components["schemas"]["Problem"] }): T {
  if (answer.data === undefined) throw new Error(`${answer.error?.code}: ${answer.error?.detail}`);
  return answer.data;
}

good(await api.POST("/api/v1/auth/signup", { body: { email, password } }));

process.stdout.write("Code from the mail: ");
for await (const code of createInterface({ input: process.stdin })) {
  const { error } = await api.POST("/api/v1/auth/verify", { body: { email, code } });
  if (!error) break;
  process.stdout.write(`${error.code}: ${error.detail}\nCode from the mail: `);
}

const pair = good(await api.POST("/api/v1/auth/login", { body: { email, password } }));
if (!("access" in pair)) throw new Error("cookies were not asked for");
const headers = { Authorization: `Bearer ${pair.access}` };

const me = good(await api.GET("/api/v1/users/me", { headers }));
console.log(`Signed in as ${me.email}, roles: ${me.roles.map((role) => role.name).join(", ")}`);

const { results } = good(
  await api.POST("/api/v1/permissions/check", { headers, body: { checks: ["user:read"] } }),
);
for (const { permission, allowed } of results) {
  console.log(`${permission}: ${allowed ? "allowed" : "not allowed"}`);
}
