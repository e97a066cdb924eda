// A service for the rule webhook in Node.js, without packages: node service.mjs TOKEN
import { timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";

if (process.argv.length !== 3 || process.argv[2] === "") {
  console.error("usage: node service.mjs TOKEN");
  process.exit(2);
}
const token = Buffer.from(`Bearer ${process.argv[2]}`);
const maxBody = 16 << 10; // bytes: the rule sends no longer requests

// decide answers a question of the rule: see guests/webhook/README.md.
function decide(question) {
  switch (question.hook) {
    case "join":
      if (question.room.startsWith("staff-") && !question.user) return { verdict: "deny", reason: "staff only", code: 7 };
      break;
    case "onSayReceive":
      if (typeof question.message !== "string") break;
      if (question.message.includes("darn")) return { verdict: "deny", reason: "not in this house" };
      if (question.message.includes("http://")) return { verdict: "hold", reason: "a link without TLS", ttl: 3600 };
      if (question.message.startsWith("LOUD ")) return { verdict: "rewrite", message: question.message.toLowerCase() };
      break;
    case "action":
      return { verdict: "allow", reply: { echo: question.params?.data ?? null } };
  }
  return { verdict: "allow" };
}

function authorized(header = "") {
  const given = Buffer.from(header);
  return given.length === token.length && timingSafeEqual(given, token);
}

// answer returns the answer to a body as JSON; undefined if the body is not a question of version 1.
function answer(body) {
  try {
    const question = JSON.parse(body);
    if (question.version === 1) return JSON.stringify(decide(question));
  } catch {} // it is not JSON, or a member is missing or of another type
}

const server = createServer((request, response) => {
  const parts = [];
  let size = 0;
  request.on("data", (part) => {
    size += part.length;
    if (size <= maxBody) parts.push(part);
  });
  request.on("end", () => {
    if (!authorized(request.headers.authorization)) return response.writeHead(401).end();
    const json = size <= maxBody ? answer(Buffer.concat(parts).toString()) : undefined;
    if (json === undefined) return response.writeHead(400).end();
    response.writeHead(200, { "content-type": "application/json" }).end(json);
  });
});
server.keepAliveTimeout = 60_000; // longer than the 30 s for which Moot keeps unused connections
server.listen(Number(process.env.PORT ?? 4001), "127.0.0.1", () => console.log(`listening on ${server.address().port}`));
