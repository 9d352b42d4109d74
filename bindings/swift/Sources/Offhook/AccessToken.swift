// AccessToken.swift - access tokens for LiveKit, created by servers and tests.
import COffhook

/// Who may join which call, and do what there. For servers and tests: an application on a user's machine must not have
/// the secret.
public struct AccessToken: Sendable {
  public var apiKey: String
  public var apiSecret: String
  public var userID: String
  public var callID: String
  /// Seconds until the token expires, 1 to 31536000; 0: 6 hours.
  public var ttlSeconds: UInt32 = 0
  /// The display name.
  public var name: String?
  /// The application's own text about the participant.
  public var metadata: String?
  /// Names and values as a JSON object of strings.
  public var attributesJSON: String?
  /// May not publish.
  public var noPublish = false
  /// May not receive tracks.
  public var noSubscribe = false
  /// May not send data.
  public var noData = false
  /// May call ``CallOperations/setAttributes(name:metadata:attributesJSON:)``.
  public var allowSetAttributes = false
  /// Is not visible to others.
  public var hidden = false
  /// May administrate the room over the server's own API.
  public var roomAdmin = false

  public init(apiKey: String, apiSecret: String, userID: String, callID: String) {
    self.apiKey = apiKey
    self.apiSecret = apiSecret
    self.userID = userID
    self.callID = callID
  }

  /// The token (a JWT signed with HMAC-SHA256). Opens no connection.
  public func make() throws -> String {
    try Library.ready()
    return try withTexts { c in
      var o = defaults(oh_access_token_options.self)
      o.ttl_s = ttlSeconds
      o.api_key = try c(apiKey)
      o.api_secret = try c(apiSecret)
      o.user_id = try c(userID)
      o.call_id = try c(callID)
      o.name = try c(name)
      o.metadata = try c(metadata)
      o.attributes_json = try c(attributesJSON)
      o.no_publish = noPublish.c
      o.no_subscribe = noSubscribe.c
      o.no_data = noData.c
      o.allow_set_attributes = allowSetAttributes.c
      o.hidden = hidden.c
      o.room_admin = roomAdmin.c
      var buffer = [CChar](repeating: 0, count: 2048)
      var length = 0
      var result = oh_access_token_create(&o, &buffer, buffer.count, &length)
      while result == OH_ERR_BUFFER.rawValue {
        buffer = [CChar](repeating: 0, count: length + 1)
        result = oh_access_token_create(&o, &buffer, buffer.count, &length)
      }
      try check(result)
      return buffer.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
    }
  }
}
