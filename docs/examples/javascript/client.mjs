import { createServer } from "node:http";
import * as oidc from "openid-client";

const config = await oidc.discovery(new URL("http://localhost:9000/patient"), "spa", undefined, oidc.None(), {
  execute: [oidc.allowInsecureRequests], // the demo speaks http, on this machine only
});
const state = oidc.randomState();
const pkce = oidc.randomPKCECodeVerifier();
const server = createServer(async (request, response) => {
  const here = new URL(request.url, `http://127.0.0.1:${server.address().port}`);
  if (here.pathname !== "/callback") return response.writeHead(404).end();
  try {
    const tokens = await oidc.authorizationCodeGrant(config, here, { expectedState: state, pkceCodeVerifier: pkce });
    response.end(`${tokens.claims().sub} is signed in`);
  } catch (error) {
    response.writeHead(502).end(String(error));
  }
});
server.listen(0, "127.0.0.1", async () => {
  console.log("Open", oidc.buildAuthorizationUrl(config, {
    redirect_uri: `http://127.0.0.1:${server.address().port}/callback`, scope: "openid profile email",
    state, code_challenge: await oidc.calculatePKCECodeChallenge(pkce), code_challenge_method: "S256",
  }).href);
});
