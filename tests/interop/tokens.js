// Makes and reads AccessTokens with the vendor's own package, named by the first argument.
// make VERSION APP CERTIFICATE USER SECONDS -> the token
// read CERTIFICATE TOKEN -> a line of JSON
"use strict";

const path = require("path");
const folder = process.argv[2];
const [order, ...rest] = process.argv.slice(3);
const agora = require(folder);

if (order === "make") {
  const [version, app, certificate, user, seconds] = rest;
  const life = Number(seconds);
  if (version === "007") {
    console.log(agora.RtmTokenBuilder.buildToken(app, certificate, user, life));
  } else {
    const legacy = require(path.join(folder, "src", "RtmTokenBuilder"));
    const end = Math.floor(Date.now() / 1000) + life;
    console.log(legacy.RtmTokenBuilder.buildToken(app, certificate, user, legacy.Role.Rtm_User, end));
  }
} else {
  const [certificate, token] = rest;
  const { AccessToken2 } = require(path.join(folder, "src", "AccessToken2"));
  const parsed = new AccessToken2("", "", 0, 0);
  const read = parsed.from_string(token);
  const service = parsed.getServices(2)[0];
  console.log(
    JSON.stringify({
      read,
      genuine: parsed.verifySignature(certificate),
      app: parsed.appId.toString(),
      user: service.__user_id.toString(),
      seconds: parsed.expire,
      privileges: service.__privileges,
    }),
  );
}
