// openid-client with private_key_jwt and a signed request object that is pushed.
import * as client from "openid-client";
import { visit, env, check, finish, signingKey } from "./browser.mjs";

const key = await signingKey();
const config = await client.discovery(new URL(env("ISSUER")), env("CLIENT_ID"), undefined,
  client.PrivateKeyJwt(key), { execute: [client.allowInsecureRequests] });
const verifier = client.randomPKCECodeVerifier();
const state = client.randomState();
const nonce = client.randomNonce();
const signed = await client.buildAuthorizationUrlWithJAR(config, {
  redirect_uri: env("REDIRECT_URI"), scope: "openid profile email offline_access", state, nonce, response_type: "code",
  code_challenge: await client.calculatePKCECodeChallenge(verifier), code_challenge_method: "S256",
}, key);
const request = await client.buildAuthorizationUrlWithPAR(config, signed.searchParams);
check("the request was not pushed", request.searchParams.has("request_uri") && !request.searchParams.has("request"));

const tokens = await client.authorizationCodeGrant(config, await visit(request.href),
  { pkceCodeVerifier: verifier, expectedState: state, expectedNonce: nonce, idTokenExpected: true });
const info = await client.fetchUserInfo(config, tokens.access_token, tokens.claims().sub);
check("userinfo without the email", info.email === env("EMAIL"));
const renewed = await client.refreshTokenGrant(config, tokens.refresh_token);
check("no new tokens", renewed.access_token !== tokens.access_token);
const bye = await visit(client.buildEndSessionUrl(config, { id_token_hint: tokens.id_token,
  post_logout_redirect_uri: env("SIGNED_OUT_URI"), state: "x" }).href);
check("signed out to " + bye, bye.href === env("SIGNED_OUT_URI") + "?state=x");
finish();
