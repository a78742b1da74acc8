// openid-client: a pushed request, sign-in, userinfo, refresh, revocation, logout.
import * as client from "openid-client";
import { visit, env, check, finish } from "./browser.mjs";

const config = await client.discovery(new URL(env("ISSUER")), env("CLIENT_ID"), undefined,
  client.ClientSecretBasic(env("CLIENT_SECRET")), { execute: [client.allowInsecureRequests] });

const verifier = client.randomPKCECodeVerifier();
const state = client.randomState();
const nonce = client.randomNonce();
const request = await client.buildAuthorizationUrlWithPAR(config, {
  redirect_uri: env("REDIRECT_URI"), scope: "openid profile email offline_access", state, nonce,
  code_challenge: await client.calculatePKCECodeChallenge(verifier), code_challenge_method: "S256",
});
check("the request was not pushed", request.searchParams.has("request_uri") && !request.searchParams.has("scope"));

const back = await visit(request.href);
const tokens = await client.authorizationCodeGrant(config, back,
  { pkceCodeVerifier: verifier, expectedState: state, expectedNonce: nonce, idTokenExpected: true });
const subject = tokens.claims().sub;
const info = await client.fetchUserInfo(config, tokens.access_token, subject);
check("userinfo without the email", info.email === env("EMAIL") && info.email_verified === true);

const renewed = await client.refreshTokenGrant(config, tokens.refresh_token);
check("no new tokens", renewed.access_token !== tokens.access_token && renewed.refresh_token !== tokens.refresh_token);
await client.fetchUserInfo(config, renewed.access_token, subject);

const seen = await client.tokenIntrospection(config, renewed.access_token);
check("introspection does not know the token", seen.active === true && seen.sub === subject);
await client.tokenRevocation(config, renewed.refresh_token);
const after = await client.tokenIntrospection(config, renewed.access_token);
check("the token outlives its revocation", after.active === false);

const bye = await visit(client.buildEndSessionUrl(config, { id_token_hint: tokens.id_token,
  post_logout_redirect_uri: env("SIGNED_OUT_URI"), state: "x" }).href);
check("signed out to " + bye, bye.href === env("SIGNED_OUT_URI") + "?state=x");
finish();
