// The browser is in the Go test that starts these scripts: it opens the address
// of a line "GO", and answers with the address where it ended.
import { createInterface } from "node:readline";

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

export const visit = async (address) => {
  console.log("GO " + address);
  const { value, done } = await lines.next();
  if (done) throw new Error("the browser is gone");
  return new URL(value);
};

export const env = (name) => {
  const value = process.env[name];
  if (!value) throw new Error(name + " is not set");
  return value;
};

export const check = (what, ok) => {
  if (!ok) throw new Error(what);
};

export const finish = () => {
  console.log("OK");
  process.exit(0);
};

// The private key of a client that signs, and its id.
export const signingKey = async () => ({
  key: await crypto.subtle.importKey("pkcs8", Buffer.from(env("PRIVATE_KEY"), "base64"), { name: "ECDSA", namedCurve: "P-256" }, false, ["sign"]),
  kid: "k",
});
