// AccessToken.swift - access tokens for LiveKit's protocol, made by servers and tests.
import COffhook

/// Who is let in where, and may do what. For servers and tests: an application on a user's machine must not hold the
/// secret.
public struct AccessToken: Sendable {
  public var apiKey: String
  public var apiSecret: String
  public var userID: String
  public var callID: String
  /// Seconds that it is good for, 1 to 31536000; 0: 6 hours.
  public var ttlSeconds: UInt32 = 0
  /// Shown to people.
  public var name: String?
  /// The application's own text about the participant.
  public var metadata: String?
  /// Names and values as a JSON object of texts.
  public var attributesJSON: String?
  public var noPublish = false
  public var noSubscribe = false
  public var noData = false
  /// May call ``CallOperations/setAttributes(name:metadata:attributesJSON:)``.
  public var maySetAttributes = false
  /// The others do not see it.
  public var hidden = false
  /// May also administrate the room over the server's own API.
  public var roomAdmin = false

  public init(apiKey: String, apiSecret: String, userID: String, callID: String) {
    self.apiKey = apiKey
    self.apiSecret = apiSecret
    self.userID = userID
    self.callID = callID
  }

  /// The token (a JWT signed with HMAC-SHA256). Contacts nobody.
  public func make() throws -> String {
    try Library.ready()
    return try withTexts { c in
      var o = coffhook_access_token_options()
      o.ttl_s = ttlSeconds
      o.api_key = try c(apiKey)
      o.api_secret = try c(apiSecret)
      o.user_id = try c(userID)
      o.call_id = try c(callID)
      o.name = try c(name)
      o.metadata = try c(metadata)
      o.attributes_json = try c(attributesJSON)
      o.no_publish = noPublish ? 1 : 0
      o.no_subscribe = noSubscribe ? 1 : 0
      o.no_data = noData ? 1 : 0
      o.may_set_attributes = maySetAttributes ? 1 : 0
      o.hidden = hidden ? 1 : 0
      o.room_admin = roomAdmin ? 1 : 0
      // Doubled until it fits: metadata may be long.
      var size = 2048
      while true {
        var buffer = [CChar](repeating: 0, count: size)
        let result = oh_access_token(&o, &buffer, buffer.count)
        if result == OH_ERR_BUFFER.rawValue, size < 1 << 24 {
          size *= 2
          continue
        }
        try check(result)
        return buffer.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
      }
    }
  }
}
