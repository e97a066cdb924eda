// A receiver of events in Node.js, without packages: node receiver.mjs SECRET
import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";

const key = Buffer.from(process.argv[2].replace(/^whsec_/, ""), "base64");
const seen = new Set(); // a real receiver keeps the ids in its database

function verified(headers, body) {
  const id = headers["webhook-id"], at = headers["webhook-timestamp"];
  if (!id || Math.abs(Date.now() / 1000 - Number(at)) > 300 || Number.isNaN(Number(at))) return false;
  const want = createHmac("sha256", key).update(`${id}.${at}.`).update(body).digest();
  return (headers["webhook-signature"] ?? "").split(" ").some((one) => {
    const got = Buffer.from(one.replace(/^v1,/, ""), "base64");
    return one.startsWith("v1,") && got.length === want.length && timingSafeEqual(got, want);
  });
}

const server = createServer((request, response) => {
  const parts = [];
  request.on("data", (part) => parts.push(part));
  request.on("end", () => {
    const body = Buffer.concat(parts);
    if (!verified(request.headers, body)) {
      response.writeHead(401).end();
      return;
    }
    const events = JSON.parse(body.toString());
    for (const event of Array.isArray(events) ? events : [events]) {
      if (seen.has(event.id)) continue;
      seen.add(event.id);
      console.log(event.sequence, event.type, JSON.stringify(event.data));
    }
    response.writeHead(204).end();
  });
});
server.listen(Number(process.env.PORT ?? 4000), "127.0.0.1", () => console.log(`listening on ${server.address().port}`));
