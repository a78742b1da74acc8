package seed

// hashes are the passwords of people.go as another system would hand them
// over: Argon2id without a pepper, at the least cost that is accepted. Making
// them anew at every start would keep newcomers waiting. The first sign-in
// replaces a hash by one of our own.
var hashes = map[string]string{
	"violet-kettle-orbit-41":    "$argon2id$v=19$m=19456,t=2,p=1$/xQQvoJtd9Yi3H6esJKlEg$TYDXdma1QdJuwKFYKLhdUbmSHb4cD5mMLAYH5vxitxI",
	"copper-walnut-sleigh-27":   "$argon2id$v=19$m=19456,t=2,p=1$f2tuHzcoupKuz/PtaGAHVQ$9/78e9nThkShKU0TaQwPMfKGt6ipeaV3bWPtD0rqAKE",
	"gravel-tulip-beacon-63":    "$argon2id$v=19$m=19456,t=2,p=1$dUfdb9oSjt7VxYEVJ5vhkA$wEUD90ocKqpbVYDhkRJ8xiIBo6h/QWj8RbpB7hEg0nQ",
	"saffron-ladder-comet-18":   "$argon2id$v=19$m=19456,t=2,p=1$GxJJ2IvddXDYnwl5J0mmWg$doMr3/xPVwCJINukeoUY5buIFwJS0mD3+FYH12LSrIo",
	"thimble-glacier-mango-52":  "$argon2id$v=19$m=19456,t=2,p=1$hvYEXYnc7N4I0SZKf19s3w$fRaF/6Bu27YK41gQczUZ7NeXjEXV1fnu/0FLCJzq6Q0",
	"pretzel-lagoon-cello-74":   "$argon2id$v=19$m=19456,t=2,p=1$qI5awrwohtNi9tCna6bu8Q$ZjNga8mbmrFTrNIgmsNbiuQXbOB4LiO35l49Ed8d9I4",
	"anchor-biscuit-meadow-39":  "$argon2id$v=19$m=19456,t=2,p=1$N+wD8ZVQ2rUNR5YjbwMVOg$AAITJmTIFDLC9rV5RgK0wzhCMcBwsOgI6wcA3D3kP8Y",
	"lantern-puffin-gravel-85":  "$argon2id$v=19$m=19456,t=2,p=1$EWzcrfK0kryW3IBYwRTDVQ$aKEzZwSYXpTXc0zZR3UjLEYN472u1gYe/3eQOaXShYM",
	"drizzle-acorn-fiddle-96":   "$argon2id$v=19$m=19456,t=2,p=1$kUFxkdwXsdv3bWOT2+SbaA$oBWq4F0WNnR8dqBVkqMnB+8g/YtdLutWLrdll2UHUr8",
	"umbrella-quartz-otter-31":  "$argon2id$v=19$m=19456,t=2,p=1$mKDHcz4ev0sIzGXyXlhrHg$1CNMeIa/GhiTBc09Mve8FXFZh+xZhT7McdHxuCA+ORQ",
	"cinnamon-raft-mosaic-58":   "$argon2id$v=19$m=19456,t=2,p=1$YFJw8RNOD5kKBtECoscDRA$Lyc8XaP/ZMTFs5+gcR5w9P3Tj900/r0k7D2CfSue8qs",
	"pebble-trumpet-clover-47":  "$argon2id$v=19$m=19456,t=2,p=1$UrMBv2GdInH/pnLyuoES+g$z3zPKeQCZ9RsDsujRDFt09VDRbC4+itJ2/wtPsdoW7Q",
	"walrus-button-prairie-22":  "$argon2id$v=19$m=19456,t=2,p=1$YGqGmSR+voW2aSiI2gPbLA$fr+LoqjLvgdQuCJLL6XK+WXP5ygynsneZX4qUmmGDv8",
	"orchid-ferry-magnet-68":    "$argon2id$v=19$m=19456,t=2,p=1$ySGZwofYNP0fFy3np7aiVA$9cfYXZJl0rbcBskfVa8zLgBw+ykP8kFwS/WBJdi7aPQ",
	"juniper-satchel-comet-92":  "$argon2id$v=19$m=19456,t=2,p=1$6Sxz4MB8jNGWMsDJfUoihA$Ys11qn6DHxRXAcoiy8cnKQfrG3bs9JrZutXSp3AB2sA",
	"pillow-canyon-radish-15":   "$argon2id$v=19$m=19456,t=2,p=1$dWxEHz5i4jvua43Pu6i4bQ$B0T+8XaJ/KdVh71pILW1vq+2wKrnknLJEi1CU7IM2qo",
	"velvet-barge-cactus-73":    "$argon2id$v=19$m=19456,t=2,p=1$aRIDgRf8AcyujDt1ExWjWw$L4PqVYCYALfznuh9W6h6jOKN6/J3ajz/h9TX90auAxE",
	"marble-otter-signal-29":    "$argon2id$v=19$m=19456,t=2,p=1$n/foj7A4wvks4VTfhVdy4g$mkygkO9ElK+FAnEF0m43pQ/dIpH1lECOLGTk0c9lyvY",
	"teapot-horizon-walnut-84":  "$argon2id$v=19$m=19456,t=2,p=1$4/zAF8Ff0VRMfv9mmOkfzw$1ZfGRHM6MGMGTG81KevU7Fbd6rpqs9fjIeNKpfBf9zI",
	"scarf-plateau-lemon-56":    "$argon2id$v=19$m=19456,t=2,p=1$t2MM+mjLOn1xfnpP3SkOrw$cA7MgnmbhJY/gv2iF4oH9nQHT0Pywy5hyceWG8k7Ls0",
	"harvest-domino-kelp-43":    "$argon2id$v=19$m=19456,t=2,p=1$eF7L8ypFzAztUQwMf0+BiQ$3wZUPiZE0btrK954hyjCcmbXpeB8vbkpi4s/By6GUlk",
	"ribbon-volcano-sparrow-17": "$argon2id$v=19$m=19456,t=2,p=1$IAMWcn/Zq5Zv/73OOnA9pw$bBp4HkKteBhkiTTYRjancC2hkOHITe47uMhKB4Rqmws",
}
